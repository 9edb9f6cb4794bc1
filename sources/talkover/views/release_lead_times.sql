-- One row per environment, month of decision and outcome (approved, rejected): how long the decisions of that month took.
-- p90_days is the shortest time within which nine of ten were decided. Open and cancelled requests are never mixed in.
with

decided as (
    select
        environment_key,
        status as outcome,
        lead_time_days as days,
        cast(resolved_at at time zone 'UTC' as date) as resolved_on
    from release_request_flow
    where lead_time_days is not null
),

decisions as (
    select
        decided.environment_key,
        calendar_months.month,
        decided.outcome,
        decided.days,
        row_number() over (
            partition by decided.environment_key, calendar_months.month, decided.outcome order by decided.days asc
        ) as place,
        count(*) over (partition by decided.environment_key, calendar_months.month, decided.outcome) as places
    from decided
    inner join calendar_months
        on cast(resolved_on + (1 - extract(day from resolved_on)) * interval 1 day as date) = calendar_months.month
),

outcomes as (
    select
        environment_key,
        month,
        outcome,
        count(*) as requests,
        avg(case when place * 2 between places and places + 2 then days end) as median_days,
        min(case when place * 10 >= places * 9 then days end) as p90_days
    from decisions
    group by environment_key, month, outcome
)

select
    month,
    environment_key,
    outcome,
    requests,
    median_days,
    p90_days,
    sum(case when outcome = 'approved' then requests * 1e0 else 0 end) over (partition by environment_key, month)
        / sum(requests) over (partition by environment_key, month) as approval_rate
from outcomes
