#!/bin/sh
# Does something about each change, and about everything that may have been missed.
#
#   examples/shell/on-change.sh CHANNEL…        the gateway: PGFAN_URL, http://127.0.0.1:8000 by default
#
# `pgfan listen` reconnects by itself from its last cursor and writes each message as a line of JSON; the missed events,
# or one gap, come before `ready`. If it is refused (a bad channel, a token), it says why, and this ends with its exit
# code.

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
