-- One row per finding and number: what it is, what to do about it, and the monthly cost at stake.
-- saving counts a number once, on the finding with the highest monthly_cost.
-- No number is called idle: that needs usage, which these two listings do not report.
with

thresholds as (
    select
        7 as grace_days, -- an approved number may stay listed this long
        14 as usual_days, -- how long a decision takes, until ten are known
        1.5 as price_factor, -- how far a price may be from the median of similar numbers
        5 as group_size -- a smaller group has no meaningful median
),

requests as (
    select
        release_request_id,
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
        current_numbers.phone_number_id,
        current_numbers.environment_key,
        current_numbers.phone_number,
        current_numbers.country_code,
        current_numbers.type,
        current_numbers.current_status,
        current_numbers.is_sandbox,
        current_numbers.capability_set,
        current_numbers.currency,
        current_numbers.monthly_cost,
        current_numbers.renewal_date,
        current_numbers.days_to_renewal,
        current_numbers.agent_count,
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
            partition by environment_key, currency, country_code, type, capability_set order by monthly_cost asc
        ) as place,
        count(*) over (partition by environment_key, currency, country_code, type, capability_set) as places
    from numbers
    where monthly_cost is not null and currency is not null
),

medians as (
    select
        *,
        sum(case when place * 2 between places and places + 2 then monthly_cost end)
            over (partition by environment_key, currency, country_code, type, capability_set)
            / count(case when place * 2 between places and places + 2 then 1 end)
                over (partition by environment_key, currency, country_code, type, capability_set) as median_cost
    from priced
),

compared as (
    select
        *,
        case
            when monthly_cost < median_cost * 1000000
                then cast(round(monthly_cost * 1e2 / nullif(median_cost, 0)) as bigint)
        end as percentage
    from medians
),

found as (
    select
        'approved_still_listed' as finding,
        phone_number_id,
        release_request_id,
        cost_at_stake as monthly_cost,
        concat('Release approved more than ', cast(grace_days as varchar), ' days ago, but still listed and paid for.')
            as description,
        'Ask Talkover support to complete the release.' as action,
        concat('approved ', cast(days_since_decision as varchar), ' days ago') as evidence
    from requests
    cross join thresholds
    where is_at_stake and status = 'approved' and days_since_decision > grace_days
    union all
    select
        'pending_renews_first',
        phone_number_id,
        open_request_id,
        monthly_cost,
        'Release requested, but the number renews before a decision can be expected.',
        'Ask for the decision before the renewal date.',
        concat('renews in ', cast(days_to_renewal as varchar), ' days')
    from numbers
    where
        open_request_id is not null
        and renews = 1
        and days_to_renewal between 0 and case when days_to_decision > 1 then days_to_decision else 1 end
    union all
    select
        'out_of_service_renews',
        phone_number_id,
        null,
        monthly_cost,
        'Suspended or inactive, but still renews.',
        'Put it back into service, or request its release.',
        concat(current_status, ', renews ', coalesce(strftime(renewal_date, '%Y-%m-%d'), 'on an unknown date'))
    from numbers
    where current_status in ('suspended', 'inactive') and renews = 1 and monthly_cost > 0
    union all
    select
        'no_agent',
        phone_number_id,
        null,
        monthly_cost,
        'No agent answers on it, but it renews.',
        'Assign an agent, or request its release.',
        coalesce(current_status, 'status unknown')
    from numbers
    where agent_count = 0 and renews = 1 and monthly_cost > 0
    union all
    select
        'sandbox_costs',
        phone_number_id,
        null,
        monthly_cost,
        'A sandbox number that costs money.',
        'Request its release when testing is over.',
        coalesce(current_status, 'status unknown')
    from numbers
    where is_sandbox and monthly_cost > 0
    union all
    select
        'price_outlier',
        phone_number_id,
        null,
        case when monthly_cost > median_cost then monthly_cost - median_cost else 0 end,
        case
            when monthly_cost > median_cost then 'Much more expensive than similar numbers.'
            else 'Much cheaper than similar numbers.'
        end,
        case
            when monthly_cost > median_cost then 'Ask for the price of similar numbers, or replace it.'
            else 'Check whether this price will last.'
        end,
        concat(
            case when percentage is null then 'far above' else concat(cast(percentage as varchar), '% of') end,
            ' the median of ', cast(places as varchar), ' similar numbers'
        )
    from compared
    cross join thresholds
    where
        places >= group_size
        and (monthly_cost > median_cost * price_factor or monthly_cost * price_factor < median_cost)
    union all
    select
        'missing_cost',
        phone_number_id,
        null,
        null,
        'The API reports no monthly cost: excluded from totals.',
        'Look up its cost in the Talkover dashboard.',
        coalesce(current_status, 'status unknown')
    from numbers
    where monthly_cost is null
    union all
    select
        'missing_currency',
        phone_number_id,
        null,
        null,
        'The API reports no currency: its cost is kept apart from all totals.',
        'Look up its currency in the Talkover dashboard.',
        coalesce(current_status, 'status unknown')
    from numbers
    where currency is null
)

select
    found.finding,
    found.phone_number_id,
    numbers.environment_key,
    numbers.phone_number,
    numbers.country_code,
    numbers.type,
    numbers.currency,
    cast(found.monthly_cost as decimal(38, 4)) as monthly_cost,
    case
        when
            row_number() over (
                partition by found.phone_number_id order by found.monthly_cost desc nulls last, found.finding asc
            ) = 1
            then cast(found.monthly_cost as decimal(38, 4))
    end as saving,
    found.description,
    found.action,
    found.evidence,
    found.release_request_id
from found
inner join numbers on found.phone_number_id = numbers.phone_number_id
