-- One row per environment: the first load of its numbers, which found what was there already. Its history begins there.
with

seen as (
    select
        environment_key,
        observed_at as seen_at
    from load_runs
    where phone_numbers_listed_at is not null
    union all
    select
        environment_key,
        changed_at
    from phone_number_changes
),

firsts as (
    select
        environment_key,
        min(seen_at) as first_load_at
    from seen
    group by environment_key
),

days as (
    select
        environment_key,
        first_load_at,
        cast(first_load_at at time zone 'UTC' as date) as first_load_on
    from firsts
)

select
    environment_key,
    first_load_at,
    first_load_on,
    cast(first_load_on + (1 - extract(day from first_load_on)) * interval 1 day as date) as month
from days
