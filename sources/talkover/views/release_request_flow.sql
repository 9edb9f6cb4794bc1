-- One row per release request: how long it took or waits, whether its number is still listed, and what that costs a month.
-- cost_at_stake counts a number once, on its newest request that is pending or approved while the number is still listed.
with

known_numbers as (
    select
        id,
        currency,
        monthly_renewal_cost
    from phone_number_changes
    where change_type <> 'removed'
    qualify row_number() over (partition by id order by changed_at desc) = 1
),

last_removals as (
    select
        id,
        max(changed_at) as removed_at
    from phone_number_changes
    where change_type = 'removed'
    group by id
),

requests as (
    select
        requests.id,
        requests.environment_key,
        requests.phone_number_id,
        requests.phone_number,
        requests.status,
        requests.requested_at,
        requests.resolved_at,
        cast(requests.requested_at at time zone 'UTC' as date) as requested_on,
        cast(requests.resolved_at at time zone 'UTC' as date) as resolved_on,
        cast(current_timestamp at time zone 'UTC' as date) as today,
        known_numbers.currency,
        known_numbers.monthly_renewal_cost,
        case when known_numbers.id is null then 0 else 1 end as is_known,
        case
            when numbers.id is null then 0
            when last_removals.removed_at > requests.resolved_at then 0 -- it went, and came back: another holding
            else 1
        end as is_listed
    from release_requests as requests
    left join known_numbers on requests.phone_number_id = known_numbers.id
    left join phone_numbers as numbers on requests.phone_number_id = numbers.id
    left join last_removals on requests.phone_number_id = last_removals.id
),

staked as (
    select
        *,
        case when status in ('pending', 'approved') and is_listed = 1 then 1 else 0 end as is_at_stake
    from requests
),

ranked as (
    select
        *,
        row_number() over (
            partition by phone_number_id
            order by is_at_stake desc, requested_at desc, id desc
        ) as newest_first
    from staked
)

select
    id as release_request_id,
    environment_key,
    phone_number_id,
    phone_number,
    status,
    requested_at,
    resolved_at,
    case when status in ('approved', 'rejected') then date_diff('day', requested_on, resolved_on) end as lead_time_days,
    case when status in ('approved', 'rejected') then date_diff('day', resolved_on, today) end as days_since_decision,
    case when status = 'pending' then date_diff('day', requested_on, today) end as age_days,
    is_known = 1 as is_number_known,
    is_listed = 1 as is_still_listed,
    currency,
    monthly_renewal_cost as monthly_cost,
    is_at_stake = 1 and newest_first = 1 as is_at_stake,
    case when is_at_stake = 1 and newest_first = 1 then monthly_renewal_cost end as cost_at_stake
from ranked
