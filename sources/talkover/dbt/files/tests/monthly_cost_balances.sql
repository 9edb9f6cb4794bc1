-- Months in which opening + added - removed + repriced is not closing, or that do not open as the month before closed.
with

months as (
    select
        *,
        lag(closing_numbers) over (partition by environment_key, currency order by month asc) as numbers_before,
        lag(closing_cost) over (partition by environment_key, currency order by month asc) as cost_before
    from {{ ref('monthly_cost') }}
)

select *
from months
where
    opening_numbers + added_numbers - removed_numbers <> closing_numbers
    or opening_cost + added_cost - removed_cost + repriced_cost <> closing_cost
    or opening_numbers <> numbers_before
    or opening_cost <> cost_before
