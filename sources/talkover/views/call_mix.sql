-- One row per environment, month, hour of the day and country of the other party with calls. Months and hours are UTC, 0 to 23.
-- calls_in + calls_out + calls_unknown_direction + test_calls are all calls: a test call counts nowhere else.
with

dated as (
    select
        environment_key,
        party_country_code,
        cast(created_at at time zone 'UTC' as date) as called_on,
        extract(hour from created_at at time zone 'UTC') as hour_of_day,
        case when is_testing then 1 else 0 end as is_test,
        case direction when 'inbound' then 1 when 'outbound' then 2 else 0 end as way,
        case when status in ('answered', 'in-progress', 'completed') then 1 else 0 end as is_answered,
        coalesce(duration, 0) as seconds
    from calls
),

placed as (
    select
        *,
        cast(called_on + (1 - extract(day from called_on)) * interval 1 day as date) as month
    from dated
),

counts as (
    select
        environment_key,
        month,
        hour_of_day,
        party_country_code,
        count(case when is_test = 0 and way = 1 then 1 end) as calls_in,
        count(case when is_test = 0 and way = 2 then 1 end) as calls_out,
        count(case when is_test = 0 and way = 0 then 1 end) as calls_unknown_direction,
        count(case when is_test = 0 and is_answered = 1 then 1 end) as answered,
        sum(case when is_test = 0 then seconds else 0 end) as seconds,
        count(case when is_test = 1 then 1 end) as test_calls
    from placed
    group by environment_key, month, hour_of_day, party_country_code
)

select
    environment_key,
    month,
    cast(hour_of_day as bigint) as hour_of_day,
    party_country_code,
    calls_in,
    calls_out,
    calls_unknown_direction,
    answered,
    -- what is added counts nowhere but in ClickHouse, which cuts off what it does not keep
    cast(round(seconds * 1e2 / 60) / 1e2 + 1e-5 as decimal(38, 4)) as minutes,
    test_calls
from counts
