-- One row per month and currency: monthly_cost added up over all environments.
select
    month,
    currency,
    count(*) as environments,
    cast(sum(opening_numbers) as bigint) as opening_numbers,
    cast(sum(opening_cost) as decimal(38, 4)) as opening_cost,
    cast(sum(added_numbers) as bigint) as added_numbers,
    cast(sum(added_cost) as decimal(38, 4)) as added_cost,
    cast(sum(removed_numbers) as bigint) as removed_numbers,
    cast(sum(removed_cost) as decimal(38, 4)) as removed_cost,
    cast(sum(repriced_cost) as decimal(38, 4)) as repriced_cost,
    cast(sum(closing_numbers) as bigint) as closing_numbers,
    cast(sum(closing_cost) as decimal(38, 4)) as closing_cost
from monthly_cost
group by month, currency
