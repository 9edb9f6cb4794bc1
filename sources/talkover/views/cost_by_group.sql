-- One row per environment, currency, country, type and status of the numbers held now.
select
    environment_key,
    currency,
    country_code,
    type,
    current_status,
    count(*) as numbers,
    count(case when monthly_cost is null then 1 end) as numbers_without_cost,
    cast(coalesce(sum(monthly_cost), 0) as decimal(38, 4)) as monthly_cost,
    avg(monthly_cost) as mean_monthly_cost,
    count(*) * 1e0 / sum(count(*)) over (partition by environment_key, currency) as share_of_numbers,
    coalesce(sum(monthly_cost), 0) * 1e0
        / nullif(sum(coalesce(sum(monthly_cost), 0)) over (partition by environment_key, currency), 0) as share_of_cost
from current_numbers
group by environment_key, currency, country_code, type, current_status
