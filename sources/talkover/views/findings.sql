-- One row per finding and number: what it is, what to do about it, and the monthly cost at stake.
-- saving counts a number once, on the finding with the highest monthly_cost.
-- That a number had no call is said only of days of which every call is loaded, and of a number that was held on all of them.
-- Nothing else calls a number idle: what comes by SMS, WhatsApp or fax is not loaded.
-- The settings under [talkover.findings] are the columns of the first two steps.
with

thresholds as (
    select
        7 as grace_days, -- an approved number may stay listed this long
        14 as usual_days, -- how long a decision takes, until ten are known
        1.5 as price_factor, -- how far a price may be from the median of similar numbers
        5 as group_size, -- a smaller group has no meaningful median
        5 as known_days -- this many days ago the last day may lie of which every call is loaded
),

quiet_times as (
    select 30 as quiet_days -- no answered call for so long is a finding, of each number the longest
    union all select 60
    union all select 90
),

requests as (
    select
        release_request_id,
        environment_key,
        phone_number_id,
        status,
        requested_at,
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
            -- both times 2e4 are whole, but for what a double adds to them: a median may be of two costs
            when monthly_cost < median_cost * 1000000
                then cast(floor(round(monthly_cost * 2e4) * 1e2 / nullif(round(median_cost * 2e4), 0) + 0.5) as bigint)
        end as percentage
    from medians
),

coverage as (
    select
        call_coverage.environment_key,
        call_coverage.complete_from,
        call_coverage.complete_until
    from call_coverage
    cross join thresholds
    where
        date_diff('day', call_coverage.complete_until, cast(current_timestamp at time zone 'UTC' as date))
        <= thresholds.known_days
),

-- By phone_number, not by number: two numbers may have the same one, and then neither goes without its calls.
covered as (
    select
        numbers.phone_number_id,
        numbers.environment_key,
        numbers.phone_number,
        numbers.capability_set,
        numbers.monthly_cost,
        number_holdings.valid_from,
        cast(number_holdings.valid_from at time zone 'UTC' as date) as held_from_on,
        coverage.complete_from,
        coverage.complete_until
    from numbers
    inner join number_holdings
        on numbers.phone_number_id = number_holdings.phone_number_id
        and numbers.environment_key = number_holdings.environment_key
        and numbers.phone_number = number_holdings.phone_number
    inner join coverage on numbers.environment_key = coverage.environment_key
    where number_holdings.valid_to is null
),

days_of_calls as (
    select
        environment_key,
        phone_number,
        cast(created_at at time zone 'UTC' as date) as called_on,
        case when status in ('answered', 'in-progress', 'completed') then 1 else 0 end as is_answered,
        count(*) as calls
    from calls
    where case when is_testing then 1 else 0 end = 0
    group by
        environment_key,
        phone_number,
        cast(created_at at time zone 'UTC' as date),
        case when status in ('answered', 'in-progress', 'completed') then 1 else 0 end
),

last_answers as (
    select
        environment_key,
        phone_number,
        max(called_on) as last_answered_on
    from days_of_calls
    where is_answered = 1
    group by environment_key, phone_number
),

-- A call since then, of which the day is not complete yet, is a call too.
quiet as (
    select
        covered.phone_number_id,
        covered.environment_key,
        covered.phone_number,
        covered.monthly_cost,
        covered.complete_until,
        quiet_times.quiet_days,
        cast(covered.complete_until + (1 - quiet_times.quiet_days) * interval 1 day as date) as quiet_from,
        covered.complete_from,
        covered.held_from_on,
        last_answers.last_answered_on
    from covered
    cross join quiet_times
    left join last_answers
        on covered.environment_key = last_answers.environment_key
        and covered.phone_number = last_answers.phone_number
    where covered.monthly_cost > 0 and (covered.capability_set like '%voice%' or covered.capability_set = 'unknown')
),

longest_quiet as (
    select *
    from quiet
    where
        complete_from <= quiet_from
        and held_from_on < quiet_from
        and (last_answered_on is null or last_answered_on < quiet_from)
    qualify row_number() over (partition by phone_number_id order by quiet_days desc) = 1
),

uncalled as (
    select
        longest_quiet.phone_number_id,
        longest_quiet.monthly_cost,
        longest_quiet.quiet_days,
        longest_quiet.quiet_from,
        longest_quiet.complete_until,
        cast(coalesce(sum(days_of_calls.calls), 0) as bigint) as unanswered
    from longest_quiet
    left join days_of_calls
        on longest_quiet.environment_key = days_of_calls.environment_key
        and longest_quiet.phone_number = days_of_calls.phone_number
        and longest_quiet.quiet_from <= days_of_calls.called_on
        and longest_quiet.complete_until >= days_of_calls.called_on
    group by
        longest_quiet.phone_number_id,
        longest_quiet.monthly_cost,
        longest_quiet.quiet_days,
        longest_quiet.quiet_from,
        longest_quiet.complete_until
),

asked_back as (
    select
        requests.phone_number_id,
        requests.release_request_id,
        requests.requested_at,
        covered.environment_key,
        covered.phone_number,
        covered.valid_from,
        covered.complete_from,
        case
            when covered.complete_from > cast(requests.requested_at at time zone 'UTC' as date) then covered.complete_from
            else cast(requests.requested_at at time zone 'UTC' as date)
        end as counted_from
    from requests
    inner join covered on requests.phone_number_id = covered.phone_number_id
    where requests.is_at_stake
),

still_called as (
    select
        asked_back.phone_number_id,
        asked_back.release_request_id,
        asked_back.counted_from,
        count(*) as received,
        max(cast(calls.created_at at time zone 'UTC' as date)) as last_called_on
    from asked_back
    inner join calls
        on asked_back.environment_key = calls.environment_key
        and asked_back.phone_number = calls.phone_number
    where
        calls.direction = 'inbound'
        and case when calls.is_testing then 1 else 0 end = 0
        and calls.created_at >= asked_back.requested_at
        and calls.created_at >= asked_back.valid_from
        and cast(calls.created_at at time zone 'UTC' as date) >= asked_back.complete_from
    group by asked_back.phone_number_id, asked_back.release_request_id, asked_back.counted_from
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
        'no_calls',
        phone_number_id,
        null,
        monthly_cost,
        concat('No answered call in ', cast(quiet_days as varchar), ' days, but paid for.'),
        'Put it to use, or request its release.',
        concat(
            'no answered call from ', strftime(quiet_from, '%Y-%m-%d'),
            ' to ', strftime(complete_until, '%Y-%m-%d'),
            ', ', cast(unanswered as varchar), ' unanswered'
        )
    from uncalled
    union all
    select
        'still_receives_calls',
        phone_number_id,
        release_request_id,
        0, -- nothing is saved by it
        'Its release is requested, but it still receives calls.',
        'Tell its callers another number, or keep it.',
        concat(
            'inbound calls since ', strftime(counted_from, '%Y-%m-%d'), ': ', cast(received as varchar),
            ', the last on ', strftime(last_called_on, '%Y-%m-%d')
        )
    from still_called
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
