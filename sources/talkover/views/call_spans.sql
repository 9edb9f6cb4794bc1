-- One row per environment and unbroken run of days of which every call was loaded: its first day and its last.
-- A day counts once it had passed in every time zone when its calls were listed. A load that was not completed counts as none.
with

windows as (
    select
        environment_key,
        first_day,
        last_day,
        cast(cast(observed_at at time zone 'UTC' as date) + (-2) * interval 1 day as date) as last_passed_day
    from call_windows
    where complete and _dlt_load_id in (select load_id from _dlt_loads where status = 0)
),

day_ranges as (
    select
        environment_key,
        first_day,
        case when last_day < last_passed_day then last_day else last_passed_day end as until_day
    from windows
    where first_day <= last_passed_day
),

-- Windows overlap: one may end before an earlier one does.
reaches as (
    select
        environment_key,
        first_day,
        until_day,
        max(until_day) over (
            partition by environment_key
            order by first_day asc nulls first, until_day asc nulls first
            rows between unbounded preceding and 1 preceding
        ) as reached_day,
        row_number() over (
            partition by environment_key order by first_day asc nulls first, until_day asc nulls first
        ) as place
    from day_ranges
),

starts as (
    select
        environment_key,
        first_day,
        until_day,
        place,
        case when place > 1 and date_diff('day', reached_day, first_day) <= 1 then 0 else 1 end as is_start
    from reaches
),

spans as (
    select
        environment_key,
        first_day,
        until_day,
        sum(is_start) over (partition by environment_key order by place asc nulls first) as span
    from starts
)

select
    environment_key,
    min(first_day) as complete_from,
    max(until_day) as complete_until
from spans
group by environment_key, span
