-- One row per environment whose calls are loaded: the latest unbroken run of days of which every call is there.
-- No complete_from and complete_until: there is no such day yet.
with

latest as (
    select
        environment_key,
        complete_from,
        complete_until
    from call_spans
    qualify row_number() over (partition by environment_key order by complete_until desc) = 1
),

readings as (
    select
        environment_key,
        max(read_at) as last_read_at,
        count(*) as windows
    from call_windows
    where _dlt_load_id in (select load_id from _dlt_loads where status = 0)
    group by environment_key
),

held as (
    select
        environment_key,
        count(*) as calls
    from calls
    group by environment_key
)

select
    readings.environment_key,
    latest.complete_from,
    latest.complete_until,
    readings.last_read_at,
    readings.windows,
    coalesce(held.calls, 0) as calls
from readings
left join latest on readings.environment_key = latest.environment_key
left join held on readings.environment_key = held.environment_key
