-- One row per number held now, with its capability set, its agents, the days to its renewal and its open release request.
-- agent_count is 0 where no agent is assigned, and null where the API returned no list of agents.
with

open_requests as (
    select
        id,
        phone_number_id,
        requested_at
    from release_requests
    where status = 'pending'
    qualify row_number() over (partition by phone_number_id order by requested_at desc, id desc) = 1
),

agents as (
    select
        phone_number_id,
        count(*) as agent_count
    from phone_number_agents
    group by phone_number_id
),

sets as (
    select
        id,
        case
            when coalesce(has_fax, has_mms, has_sms, has_voice, has_whatsapp) is null then 'unknown'
            else concat(
                case when has_fax then '+fax' else '' end,
                case when has_mms then '+mms' else '' end,
                case when has_sms then '+sms' else '' end,
                case when has_voice then '+voice' else '' end,
                case when has_whatsapp then '+whatsapp' else '' end
            )
        end as capabilities
    from phone_numbers
)

select
    numbers.id as phone_number_id,
    numbers.environment_key,
    numbers.number as phone_number,
    numbers.country_code,
    numbers.type,
    numbers.current_status,
    numbers.is_sandbox,
    case
        when sets.capabilities = '' then 'none'
        when sets.capabilities = 'unknown' then sets.capabilities
        else substring(sets.capabilities, 2)
    end as capability_set,
    numbers.currency,
    numbers.monthly_renewal_cost as monthly_cost,
    numbers.renewal_date,
    date_diff('day', cast(current_timestamp at time zone 'UTC' as date), numbers.renewal_date) as days_to_renewal,
    numbers.auto_renewal,
    case when numbers.agents is not null then coalesce(agents.agent_count, 0) end as agent_count,
    open_requests.id as open_request_id,
    open_requests.requested_at as release_requested_at,
    numbers.created_at
from phone_numbers as numbers
inner join sets on numbers.id = sets.id
left join agents on numbers.id = agents.phone_number_id
left join open_requests on numbers.id = open_requests.phone_number_id
