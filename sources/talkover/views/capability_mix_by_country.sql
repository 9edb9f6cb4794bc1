-- One row per environment, currency, country and exact capability set of the numbers held now: how many, and their cost.
select
    environment_key,
    currency,
    country_code,
    capability_set,
    count(*) as numbers,
    count(case when monthly_cost is null then 1 end) as numbers_without_cost,
    cast(coalesce(sum(monthly_cost), 0) as decimal(38, 4)) as monthly_cost
from current_numbers
group by environment_key, currency, country_code, capability_set
