-- One row per month, environment, currency and country: how many numbers, and what they cost a month, at its end (or now).
-- A country that ever had a number has a row in every month since the environment's first.
with

ends as (
    select 1 as moved
    union all select -1
),

moves as (
    select
        cast(changed_on + (1 - extract(day from changed_on)) * interval 1 day as date) as month,
        case when moved = 1 then environment_key else previous_environment_key end as environment_key,
        coalesce(case when moved = 1 then currency else previous_currency end, '') as currency,
        coalesce(case when moved = 1 then country_code else previous_country_code end, '') as country_code,
        coalesce(case when moved = 1 then monthly_cost else -previous_monthly_cost end, 0) as cost,
        moved
    from inventory_changes
    cross join ends
),

flows as (
    select
        month,
        environment_key,
        currency,
        country_code,
        sum(moved) as moved,
        sum(cost) as cost
    from moves
    where environment_key is not null
    group by month, environment_key, currency, country_code
),

countries as (
    select distinct
        environment_key,
        currency,
        country_code
    from flows
),

months as (
    select
        calendar_months.month,
        countries.environment_key,
        countries.currency,
        countries.country_code
    from countries
    inner join first_loads on countries.environment_key = first_loads.environment_key
    inner join calendar_months on first_loads.month <= calendar_months.month
    where cast(current_timestamp at time zone 'UTC' as date) >= calendar_months.month
),

sums as (
    select
        months.month,
        months.environment_key,
        months.currency,
        months.country_code,
        sum(coalesce(flows.moved, 0))
            over (
                partition by months.environment_key, months.currency, months.country_code
                order by months.month asc nulls first
            ) as numbers,
        sum(coalesce(flows.cost, 0))
            over (
                partition by months.environment_key, months.currency, months.country_code
                order by months.month asc nulls first
            ) as cost
    from months
    left join flows
        on months.month = flows.month
        and months.environment_key = flows.environment_key
        and months.currency = flows.currency
        and months.country_code = flows.country_code
)

select
    month,
    environment_key,
    nullif(currency, '') as currency,
    nullif(country_code, '') as country_code,
    cast(numbers as bigint) as numbers,
    cast(cost as decimal(38, 4)) as monthly_cost
from sums
