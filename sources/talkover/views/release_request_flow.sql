-- One row per release request: how long it took or waits, whether its number is still listed, and what that costs a month.
-- cost_at_stake counts a number once, on its newest request that is pending or approved while the number is still listed.
with

known_numbers as (
    select
        id,
        currency,
        monthly_renewal_cost
    from phone_number_history
    qualify row_number() over (partition by id order by valid_from desc) = 1
),

requests as (
    select
        requests.*,
        cast(requests.requested_at at time zone 'UTC' as date) as requested_on,
        cast(requests.resolved_at at time zone 'UTC' as date) as resolved_on,
        cast(current_timestamp at time zone 'UTC' as date) as today,
        known_numbers.currency,
        known_numbers.monthly_renewal_cost,
        case when known_numbers.id is null then 0 else 1 end as is_known,
        case when numbers.id is null then 0 else 1 end as is_listed,
        case when requests.status in ('pending', 'approved') and numbers.id is not null then 1 else 0 end as is_at_stake
    from release_requests as requests
    left join known_numbers on requests.phone_number_id = known_numbers.id
    left join phone_numbers as numbers on requests.phone_number_id = numbers.id
),

ranked as (
    select
        *,
        row_number() over (
            partition by phone_number_id
            order by is_at_stake desc, requested_at desc, id desc
        ) as newest_first
    from requests
)

select
    id,
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
