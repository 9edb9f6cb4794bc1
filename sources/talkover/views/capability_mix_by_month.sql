-- One row per month, environment and exact capability set: how many numbers had it at the month's end (or now).
-- A set that was ever held has a row in every month since the environment's first. The shares of a month add up to 1.
with

ends as (
    select 1 as moved
    union all select -1
),

moves as (
    select
        cast(changed_on + (1 - extract(day from changed_on)) * interval 1 day as date) as month,
        case when moved = 1 then environment_key else previous_environment_key end as environment_key,
        case when moved = 1 then capability_set else previous_capability_set end as capability_set,
        moved
    from inventory_changes
    cross join ends
),

flows as (
    select
        month,
        environment_key,
        capability_set,
        sum(moved) as moved
    from moves
    where environment_key is not null
    group by month, environment_key, capability_set
),

sets as (
    select distinct
        environment_key,
        capability_set
    from flows
),

months as (
    select
        calendar_months.month,
        sets.environment_key,
        sets.capability_set
    from sets
    inner join first_loads on sets.environment_key = first_loads.environment_key
    inner join calendar_months on first_loads.month <= calendar_months.month
    where cast(current_timestamp at time zone 'UTC' as date) >= calendar_months.month
),

mix as (
    select
        months.month,
        months.environment_key,
        months.capability_set,
        sum(coalesce(flows.moved, 0))
            over (
                partition by months.environment_key, months.capability_set order by months.month asc nulls first
            ) as numbers
    from months
    left join flows
        on months.month = flows.month
        and months.environment_key = flows.environment_key
        and months.capability_set = flows.capability_set
)

select
    month,
    environment_key,
    capability_set,
    cast(numbers as bigint) as numbers,
    numbers * 1e0 / nullif(sum(numbers) over (partition by month, environment_key), 0) as share_of_numbers
from mix
