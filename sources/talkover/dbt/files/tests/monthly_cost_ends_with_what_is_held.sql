-- Environments and currencies whose last month does not close with the numbers that are held now, and their cost.
with

sums as (
    select
        environment_key,
        coalesce(currency, '') as currency,
        closing_numbers as numbers,
        closing_cost as cost
    from {{ ref('monthly_cost') }}
    where month = (select max(month) from {{ ref('monthly_cost') }})
    union all
    select
        environment_key,
        coalesce(currency, ''),
        -1,
        -coalesce(monthly_cost, 0)
    from {{ ref('current_numbers') }}
)

select
    environment_key,
    currency,
    sum(numbers) as numbers,
    sum(cost) as cost
from sums
group by environment_key, currency
having sum(numbers) <> 0 or sum(cost) <> 0
