-- One row per finding and number: something to look at, the monthly cost at stake, and the evidence.
-- No number is called idle: that needs usage, which the API does not tell.
with

thresholds as (
    select
        7 as grace_days, -- an approved number may stay listed so long
        14 as usual_days, -- a decision takes so long, until ten are known
        1.5 as price_factor, -- dearer or cheaper than the median of its like by this factor
        5 as group_size -- a smaller group has no median worth the name
),

requests as (
    select
        id,
        environment_key,
        phone_number_id,
        status,
        lead_time_days,
        days_since_decision,
        is_at_stake,
        cost_at_stake
    from release_request_flow
),

decisions as (
    select
        environment_key,
        lead_time_days,
        row_number() over (partition by environment_key order by lead_time_days asc) as place,
        count(*) over (partition by environment_key) as places
    from requests
    where lead_time_days is not null
),

decision_times as (
    select
        environment_key,
        min(case when places >= 10 and place * 10 >= places * 9 then lead_time_days end) as p90_days
    from decisions
    group by environment_key
),

numbers as (
    select
        current_numbers.id,
        current_numbers.environment_key,
        current_numbers.number,
        current_numbers.country_code,
        current_numbers.type,
        current_numbers.current_status,
        current_numbers.is_sandbox,
        current_numbers.capability_set,
        current_numbers.currency,
        current_numbers.monthly_renewal_cost,
        current_numbers.renewal_date,
        current_numbers.days_to_renewal,
        current_numbers.open_request_id,
        case when auto_renewal then 1 when auto_renewal is null then 1 else 0 end as renews,
        coalesce(decision_times.p90_days, thresholds.usual_days)
            - date_diff(
                'day',
                cast(release_requested_at at time zone 'UTC' as date),
                cast(current_timestamp at time zone 'UTC' as date)
            ) as days_to_decision
    from current_numbers
    cross join thresholds
    left join decision_times on current_numbers.environment_key = decision_times.environment_key
),

priced as (
    select
        *,
        row_number() over (
            partition by environment_key, currency, country_code, type, capability_set order by monthly_renewal_cost asc
        ) as place,
        count(*) over (partition by environment_key, currency, country_code, type, capability_set) as places
    from numbers
    where monthly_renewal_cost is not null and currency is not null
),

medians as (
    select
        *,
        sum(case when place * 2 between places and places + 2 then monthly_renewal_cost end)
            over (partition by environment_key, currency, country_code, type, capability_set)
            / count(case when place * 2 between places and places + 2 then 1 end)
                over (partition by environment_key, currency, country_code, type, capability_set) as median_cost
    from priced
),

found as (
    select
        'approved_still_listed' as finding,
        phone_number_id as id,
        cost_at_stake as cost,
        'Approved for release, yet still listed and paid for.' as sentence,
        concat('approved ', cast(days_since_decision as varchar), ' days ago, request ', id) as evidence
    from requests
    cross join thresholds
    where is_at_stake and status = 'approved' and days_since_decision > grace_days
    union all
    select
        'pending_renews_first',
        id,
        monthly_renewal_cost,
        'To be given back, but renews before a decision is to be expected.',
        concat('renews in ', cast(days_to_renewal as varchar), ' days, request ', open_request_id)
    from numbers
    where
        open_request_id is not null
        and renews = 1
        and days_to_renewal between 0 and case when days_to_decision > 1 then days_to_decision else 1 end
    union all
    select
        'out_of_service_renews',
        id,
        monthly_renewal_cost,
        'Suspended or inactive, yet it renews.',
        concat(current_status, ', renews ', coalesce(strftime(renewal_date, '%Y-%m-%d'), 'on a day not told'))
    from numbers
    where current_status in ('suspended', 'inactive') and renews = 1 and monthly_renewal_cost > 0
    union all
    select
        'sandbox_costs',
        id,
        monthly_renewal_cost,
        'A sandbox number that costs money.',
        concat('costs ', cast(monthly_renewal_cost as varchar), ' a month')
    from numbers
    where is_sandbox and monthly_renewal_cost > 0
    union all
    select
        'price_outlier',
        id,
        case when monthly_renewal_cost > median_cost then monthly_renewal_cost - median_cost else 0 end,
        case
            when monthly_renewal_cost > median_cost then 'Much dearer than numbers of the same kind.'
            else 'Much cheaper than numbers of the same kind: will it stay so?'
        end,
        concat(
            'costs ', cast(monthly_renewal_cost as varchar), ', the median of ', cast(places as varchar), ' is ',
            cast(cast(median_cost as decimal(18, 4)) as varchar)
        )
    from medians
    cross join thresholds
    where
        places >= group_size
        and (monthly_renewal_cost > median_cost * price_factor or monthly_renewal_cost * price_factor < median_cost)
    union all
    select
        'missing_cost',
        id,
        null,
        'The API tells no monthly cost: it is missing from every sum.',
        coalesce(current_status, 'status not told')
    from numbers
    where monthly_renewal_cost is null
    union all
    select
        'missing_currency',
        id,
        monthly_renewal_cost,
        'The API tells no currency: the cost stands apart from every other.',
        coalesce(current_status, 'status not told')
    from numbers
    where currency is null
)

select
    found.finding,
    found.id as phone_number_id,
    numbers.environment_key,
    numbers.number,
    numbers.country_code,
    numbers.type,
    numbers.currency,
    cast(found.cost as decimal(38, 4)) as monthly_cost,
    found.sentence,
    found.evidence
from found
inner join numbers on found.id = numbers.id
