DECLARE
    options CONSTANT json := TG_ARGV[1]::json;
    schema_name name := TG_TABLE_SCHEMA;
    table_name name := TG_TABLE_NAME;
    contents json[] := '{}';
    content json;
    key text;
    is_lost boolean;
    keys text[] := '{}';
    changed text[];
    shortened boolean := false;
    foreign_casts oid[];
    base text;
    payload text;
BEGIN
    -- The trigger of a partitioned table runs as one of the partition.
    IF options ->> 'partitioned' IS NOT NULL THEN
        SELECT n.nspname, c.relname INTO schema_name, table_name
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = coalesce(pg_partition_root(TG_RELID), TG_RELID);
    END IF;
    -- now() and not the clock: equal notifications of a transaction become one.
    base := json_build_object(
        'operation', lower(TG_OP), 'schema', schema_name, 'table', table_name,
        'sent_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text;
    payload := base;

    IF TG_LEVEL = 'ROW' AND (options ->> 'keys' IS NOT NULL OR options ->> 'changed' IS NOT NULL) THEN
        -- What cannot be told of a row must not keep it from being written.
        BEGIN
            -- JSON calls what a type's owner has made a cast to json: not with the rights of whoever
            -- writes here, unless it is a superuser's or the table's owner's. The first look is for
            -- most databases the last one, and cheap.
            IF (SELECT max(castsource) FROM pg_cast) >= 16384 THEN
                foreign_casts := ARRAY(
                    SELECT c.castsource FROM pg_cast AS c JOIN pg_proc AS f ON f.oid = c.castfunc
                    WHERE c.castsource >= 16384 AND c.casttarget = 'json'::regtype
                    AND f.proowner <> (SELECT relowner FROM pg_class WHERE oid = TG_RELID)
                    AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = f.proowner));
            END IF;
            IF foreign_casts <> '{}' THEN
                shortened := EXISTS (
                    WITH RECURSIVE types (oid) AS (
                        SELECT atttypid FROM pg_attribute WHERE attrelid = TG_RELID AND attnum > 0
                        UNION
                        SELECT part.oid FROM types JOIN pg_type AS t USING (oid) CROSS JOIN LATERAL (
                            SELECT t.typelem UNION ALL SELECT t.typbasetype UNION ALL
                            SELECT a.atttypid FROM pg_attribute AS a WHERE a.attrelid = t.typrelid AND a.attnum > 0
                        ) AS part (oid)
                    ) SELECT FROM types WHERE oid = ANY (foreign_casts));
                IF shortened THEN RAISE EXCEPTION 'not with the rights of the writer'; END IF;
            END IF;
            IF TG_OP <> 'INSERT' THEN contents := contents || row_to_json(OLD); END IF;
            IF TG_OP <> 'DELETE' THEN contents := contents || row_to_json(NEW); END IF;
            IF options ->> 'keys' IS NOT NULL THEN
                -- Before and after: a key may change too.
                FOREACH content IN ARRAY contents LOOP
                    SELECT json_object_agg(name, content -> name)::text, bool_or(content -> name IS NULL)
                    INTO key, is_lost
                    FROM json_array_elements_text(options -> 'keys') AS name;
                    shortened := shortened OR is_lost;
                    IF key <> ALL (keys) THEN keys := keys || key; END IF;
                END LOOP;
                payload := left(payload, -1) || ', "keys" : [' || array_to_string(keys, ', ') || ']}';
            END IF;
            IF options ->> 'changed' IS NOT NULL AND TG_OP = 'UPDATE' THEN
                SELECT coalesce(array_agg(later.name ORDER BY later.n), '{}') INTO changed
                FROM json_each(contents[2]) WITH ORDINALITY AS later (name, value, n)
                JOIN json_each(contents[1]) AS earlier (name, value) USING (name)
                WHERE later.value::text <> earlier.value::text;
                -- No trigger can see a virtual column: it may have changed with what it is made of.
                IF changed <> '{}' THEN
                    changed := changed || ARRAY(
                        SELECT attname::text FROM pg_attribute
                        WHERE attrelid = TG_RELID AND attgenerated = 'v' AND attname::text <> ALL (changed)
                        ORDER BY attnum);
                END IF;
                payload := left(payload, -1) || ', "changed" : ' || to_json(changed) || '}';
            END IF;
        EXCEPTION WHEN OTHERS THEN
            shortened := true;
        END;
        IF shortened OR octet_length(payload) > 7999 THEN
            payload := left(base, -1) || ', "shortened" : true}';
        END IF;
    END IF;

    PERFORM pg_notify(TG_ARGV[0], payload);
    RETURN NULL;
END
