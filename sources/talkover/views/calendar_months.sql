-- One row per month of the years 1970 to 2069: its first day, the first day of the next, and how many days it has.
with

digits as (
    select 0 as digit
    union all select 1
    union all select 2
    union all select 3
    union all select 4
    union all select 5
    union all select 6
    union all select 7
    union all select 8
    union all select 9
),

years as (
    select 1970 + 10 * tens.digit + ones.digit as year_number
    from digits as tens
    cross join digits as ones
),

month_numbers as (
    select digit + 1 as month_number from digits
    union all select 11
    union all select 12
),

months as (
    select
        cast(
            concat(
                cast(year_number as varchar),
                case when month_number < 10 then '-0' else '-' end,
                cast(month_number as varchar),
                '-01'
            ) as date
        ) as month,
        case
            when month_number in (4, 6, 9, 11) then 30
            when month_number <> 2 then 31
            when year_number % 4 = 0 and (year_number % 100 <> 0 or year_number % 400 = 0) then 29
            else 28
        end as days_in_month
    from years
    cross join month_numbers
)

select
    month,
    lead(month) over (order by month) as next_month,
    days_in_month
from months
