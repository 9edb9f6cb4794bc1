-- One row per environment, month of decision and outcome (approved, rejected): how long the decisions of that month took.
-- p90_days is the shortest time within which nine of ten were decided. Open and cancelled requests are never mixed in.
with

decisions as (
    select
        release_request_flow.environment_key,
        calendar_months.month,
        release_request_flow.status as outcome,
        release_request_flow.lead_time_days as days,
        row_number() over (
            partition by release_request_flow.environment_key, calendar_months.month, release_request_flow.status
            order by release_request_flow.lead_time_days asc
        ) as place,
        count(*) over (
            partition by release_request_flow.environment_key, calendar_months.month, release_request_flow.status
        ) as places
    from release_request_flow
    inner join calendar_months
        on cast(release_request_flow.resolved_at at time zone 'UTC' as date) >= calendar_months.month
        and cast(release_request_flow.resolved_at at time zone 'UTC' as date) < calendar_months.next_month
    where release_request_flow.lead_time_days is not null
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
