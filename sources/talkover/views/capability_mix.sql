-- One row per environment, currency and exact capability set of the numbers held now. The shares add up to 1.
with

mix as (
    select
        environment_key,
        currency,
        capability_set,
        count(*) as numbers,
        cast(coalesce(sum(monthly_cost), 0) as decimal(38, 4)) as monthly_cost
    from current_numbers
    group by environment_key, currency, capability_set
)

select
    environment_key,
    currency,
    capability_set,
    numbers,
    numbers * 1e0 / sum(numbers) over (partition by environment_key, currency) as share_of_numbers,
    monthly_cost,
    monthly_cost * 1e0 / nullif(sum(monthly_cost) over (partition by environment_key, currency), 0) as share_of_cost
from mix
