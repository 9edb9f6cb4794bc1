-- One row per number and renewal in the next twelve months. Further buckets: one row for a renewal that is overdue, one for
-- an end without renewal, one for a number without a renewal date. `cash` is what is to be paid. An end costs nothing.
-- Month-end rule: a number renews on the day of its renewal_date, or on the last day of a month that is too short for it.
with

numbers as (
    select
        *,
        case when auto_renewal then 1 when auto_renewal is null then 1 else 0 end as renews,
        extract(day from renewal_date) as renewal_day,
        cast(current_timestamp at time zone 'UTC' as date) as today
    from current_numbers
),

dates as (
    select
        numbers.*,
        calendar_months.month,
        case when renewal_day > days_in_month then days_in_month else renewal_day end - 1 as days_on
    from numbers
    inner join calendar_months on numbers.renewal_date < calendar_months.next_month
    where calendar_months.month < today + 12 * interval 1 month
),

renewals as (
    select
        *,
        cast(month + days_on * interval 1 day as date) as renews_on
    from dates
)

select
    id as phone_number_id,
    environment_key,
    number,
    country_code,
    type,
    currency,
    case when renews = 0 then 'ends' when renews_on < today then 'overdue' else 'renews' end as bucket,
    month,
    renews_on,
    case when renews = 1 then monthly_renewal_cost end as cash,
    monthly_renewal_cost
from renewals
where
    renews_on < today + 12 * interval 1 month
    and (renews_on = renewal_date or (renews = 1 and renews_on >= today))
union all
select
    id,
    environment_key,
    number,
    country_code,
    type,
    currency,
    'no date',
    null,
    null,
    null,
    monthly_renewal_cost
from numbers
where renewal_date is null
