-- One row per month, environment and currency: what the numbers cost a month at its end (or now), and what changed that.
-- opening + added - removed + repriced = closing. What the first load found is the opening of its month. Months are UTC.
-- An unknown cost counts as 0.
with

flows as (
    select
        month,
        environment_key,
        coalesce(currency, '') as currency,
        count(case when change_type = 'first_load' then 1 end) as found_numbers,
        sum(case when change_type = 'first_load' then monthly_cost else 0 end) as found_cost,
        count(case when change_type = 'added' then 1 end) as added_numbers,
        sum(case when change_type = 'added' then monthly_cost else 0 end) as added_cost,
        count(case when change_type = 'removed' then 1 end) as removed_numbers,
        sum(case when change_type = 'removed' then -monthly_cost else 0 end) as removed_cost,
        sum(case when change_type = 'repriced' then monthly_cost else 0 end) as repriced_cost
    from cost_changes
    group by month, environment_key, coalesce(currency, '')
),

currencies as (
    select distinct
        environment_key,
        currency
    from flows
),

months as (
    select
        calendar_months.month,
        currencies.environment_key,
        currencies.currency
    from currencies
    inner join first_loads on currencies.environment_key = first_loads.environment_key
    inner join calendar_months on first_loads.month <= calendar_months.month
    where cast(current_timestamp at time zone 'UTC' as date) >= calendar_months.month
),

bridges as (
    select
        months.month,
        months.environment_key,
        months.currency,
        coalesce(flows.added_numbers, 0) as added_numbers,
        coalesce(flows.added_cost, 0) as added_cost,
        coalesce(flows.removed_numbers, 0) as removed_numbers,
        coalesce(flows.removed_cost, 0) as removed_cost,
        coalesce(flows.repriced_cost, 0) as repriced_cost,
        sum(coalesce(flows.found_numbers + flows.added_numbers - flows.removed_numbers, 0))
            over (
                partition by months.environment_key, months.currency order by months.month asc nulls first
            ) as closing_numbers,
        sum(coalesce(flows.found_cost + flows.added_cost - flows.removed_cost + flows.repriced_cost, 0))
            over (
                partition by months.environment_key, months.currency order by months.month asc nulls first
            ) as closing_cost
    from months
    left join flows
        on months.month = flows.month
        and months.environment_key = flows.environment_key
        and months.currency = flows.currency
)

select
    month,
    environment_key,
    nullif(currency, '') as currency,
    cast(closing_numbers - added_numbers + removed_numbers as bigint) as opening_numbers,
    cast(closing_cost - added_cost + removed_cost - repriced_cost as decimal(38, 4)) as opening_cost,
    cast(added_numbers as bigint) as added_numbers,
    cast(added_cost as decimal(38, 4)) as added_cost,
    cast(removed_numbers as bigint) as removed_numbers,
    cast(removed_cost as decimal(38, 4)) as removed_cost,
    cast(repriced_cost as decimal(38, 4)) as repriced_cost,
    cast(closing_numbers as bigint) as closing_numbers,
    cast(closing_cost as decimal(38, 4)) as closing_cost
from bridges
