-- One row per day, bucket, environment and currency of renewal_calendar: how many numbers, and what cash they take together.
select
    renews_on,
    month,
    bucket,
    environment_key,
    currency,
    count(*) as numbers,
    cast(sum(cash) as decimal(38, 4)) as cash
from renewal_calendar
group by renews_on, month, bucket, environment_key, currency
