-- One row per number and renewal in the next twelve months. Further buckets: one row for a renewal that is overdue, one for
-- an end without renewal, one for an unknown renewal date. `cash` is what is to be paid. An end costs nothing.
-- Month-end rule: a number renews on the day of its renewal_date, or on the last day of a month that is too short for it.
with

numbers as (
    select
        *,
        case when auto_renewal then 1 when auto_renewal is null then 1 else 0 end as renews
    from current_numbers
),

-- Numbers of the same date have the same renewals: those are worked out once.
first_dates as (
    select distinct
        renewal_date,
        renews,
        extract(day from renewal_date) as renewal_day,
        cast(current_timestamp at time zone 'UTC' as date) as today
    from numbers
),

dates as (
    select
        first_dates.*,
        calendar_months.month,
        case when renewal_day > days_in_month then days_in_month else renewal_day end - 1 as days_on
    from first_dates
    inner join calendar_months on first_dates.renewal_date < calendar_months.next_month
    where calendar_months.month < today + 12 * interval 1 month
),

renewals as (
    select
        *,
        cast(month + days_on * interval 1 day as date) as renews_on
    from dates
)

select
    numbers.phone_number_id,
    numbers.environment_key,
    numbers.phone_number,
    numbers.country_code,
    numbers.type,
    numbers.currency,
    case when renewals.renews = 0 then 'ends' when renewals.renews_on < today then 'overdue' else 'renews' end as bucket,
    renewals.month,
    renewals.renews_on,
    case when renewals.renews = 1 then numbers.monthly_cost end as cash,
    numbers.monthly_cost
from renewals
inner join numbers
    on renewals.renewal_date = numbers.renewal_date
    and renewals.renews = numbers.renews
where
    renews_on < today + 12 * interval 1 month
    and (renews_on = renewals.renewal_date or (renewals.renews = 1 and renews_on >= today))
union all
select
    phone_number_id,
    environment_key,
    phone_number,
    country_code,
    type,
    currency,
    'unknown',
    null,
    null,
    null,
    monthly_cost
from numbers
where renewal_date is null
