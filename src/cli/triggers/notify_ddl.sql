DECLARE
    before json;
    after json := '{}';
    part record;
BEGIN
    -- Any session can set it, but hides no more than what its own commands have changed.
    BEGIN
        before := nullif(current_setting('pgfan.before', true), '');
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    IF TG_TAG NOT LIKE 'CREATE %' THEN
        -- Each watched table, with all that is a part of it or inherits from it. Anybody may have made
        -- such a trigger: one whose arguments are others must not keep the rest from being reported.
        WITH RECURSIVE watched (oid, channel) AS (
            SELECT t.tgrelid, convert_from(
                substring(t.tgargs FROM 1 FOR position(decode('00', 'hex') IN t.tgargs) - 1), getdatabaseencoding())
            FROM pg_trigger AS t JOIN pg_proc AS f ON f.oid = t.tgfoid
            WHERE t.tgname = 'pgfan_emptied' AND t.tgenabled <> 'D' AND t.tgnargs = 2
            AND strpos(f.prosrc, '{MARK}') > 0
        ), members (root, oid) AS (
            SELECT oid, oid FROM watched
            UNION
            SELECT m.root, i.inhrelid FROM members AS m JOIN pg_inherits AS i ON i.inhparent = m.oid
        )
        SELECT coalesce(json_object_agg(c.oid, json_build_object(
            'channel', w.channel, 'schema', n.nspname, 'table', c.relname,
            'members', (SELECT json_agg(m.oid ORDER BY m.oid) FROM members AS m WHERE m.root = c.oid))), '{}')
        INTO after
        FROM watched AS w JOIN pg_class AS c USING (oid) JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE octet_length(w.channel) BETWEEN 1 AND 63;

        IF TG_EVENT = 'ddl_command_start' THEN
            -- Of the session: DETACH PARTITION … CONCURRENTLY takes two transactions. A command within
            -- another one keeps what was before both.
            IF before IS NULL THEN PERFORM set_config('pgfan.before', after::text, false); END IF;
            -- And its rows are gone after the first of the two.
            IF current_query() !~* 'concurrently' THEN RETURN; END IF;
            before := NULL;
        ELSE
            PERFORM set_config('pgfan.before', '', false);
        END IF;

        -- Where it is not known what was before, all may have changed.
        PERFORM pg_notify(changed.entry ->> 'channel', json_build_object(
            'operation', 'truncate', 'schema', changed.entry ->> 'schema', 'table', changed.entry ->> 'table',
            'sent_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text)
        FROM (
            SELECT coalesce(a.value, b.value)
            FROM json_each(after) AS a FULL JOIN json_each(before) AS b USING (key)
            WHERE before IS NULL OR (a.value -> 'members')::text IS DISTINCT FROM (b.value -> 'members')::text
        ) AS changed (entry);
    END IF;

    IF TG_EVENT = 'ddl_command_end' AND TG_TAG NOT LIKE 'DROP %' THEN
        FOR part IN
            SELECT c.oid::regclass AS name, t.tgfoid::regproc AS function,
                convert_from(substring(t.tgargs FROM 1 FOR position(decode('00', 'hex') IN t.tgargs) - 1),
                             getdatabaseencoding()) AS channel
            FROM pg_event_trigger_ddl_commands() AS command
            CROSS JOIN pg_partition_tree(command.objid) AS tree
            JOIN pg_class AS c ON c.oid = tree.relid AND c.relispartition AND c.relkind IN ('r', 'p')
            JOIN pg_trigger AS t ON t.tgrelid = pg_partition_root(c.oid) AND t.tgname = 'pgfan_emptied'
                AND t.tgnargs = 2
            JOIN pg_proc AS f ON f.oid = t.tgfoid AND strpos(f.prosrc, '{MARK}') > 0
            WHERE command.classid = 'pg_class'::regclass AND NOT EXISTS (
                SELECT FROM pg_trigger AS e WHERE e.tgrelid = c.oid AND e.tgname = 'pgfan_part_emptied')
        LOOP
            EXECUTE format(
                'CREATE TRIGGER pgfan_part_emptied AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s(%L, %L)',
                part.name, part.function, part.channel, '{"partitioned":true}');
            BEGIN
                EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER pgfan_part_emptied', part.name);
            EXCEPTION WHEN feature_not_supported THEN
                NULL;
            END;
        END LOOP;
    END IF;
-- Whatever cannot be reported must not keep a command from being run.
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'pgfan cannot report what % has changed: %', TG_TAG, SQLERRM;
END
