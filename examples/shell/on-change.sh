#!/bin/sh
# Reacts to each change, and to each possible loss of events.
#
#   examples/shell/on-change.sh CHANNEL…        the gateway: PGFAN_URL, http://127.0.0.1:8000 by default
#
# `pgfan listen` reconnects automatically from its last cursor and writes each message as a line of JSON; the missed events,
# or one gap, come before `ready`. If it is refused (a bad channel, a token), it prints the reason, and this script ends
# with its exit code.

{ pgfan listen --json "$@" || echo "ended $?"; } | while read -r message; do
    case $message in
    '{"type":"event",'*) echo "changed: $message" ;;
    '{"type":"gap",'*) echo "everything may have changed" ;;
    '{"type":"interrupted",'*) echo "what we hold may go stale from now on" ;;
    '{"type":"ready",'* | '{"type":"live",'*) echo "listening" ;;
    'ended '*) exit "${message#ended }" ;;
    *) echo "unknown, so everything may have changed" ;;
    esac
done
