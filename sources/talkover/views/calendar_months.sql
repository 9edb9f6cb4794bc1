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

months_of_a_year as (
    select digit as number from digits
    union all select 10
    union all select 11
),

since_1970 as (
    select 120 * tens.digit + 12 * ones.digit + months_of_a_year.number as months_gone
    from digits as tens
    cross join digits as ones
    cross join months_of_a_year
),

months as (
    select
        cast(cast('1970-01-01' as date) + months_gone * interval 1 month as date) as month,
        cast(cast('1970-01-01' as date) + (months_gone + 1) * interval 1 month as date) as next_month
    from since_1970
)

select
    month,
    next_month,
    date_diff('day', month, next_month) as days_in_month
from months
