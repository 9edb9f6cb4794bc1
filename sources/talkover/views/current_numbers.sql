-- One row per number held now, with its capability set, its agents, the days to its renewal and its open release request.
-- agent_count is 0 where no agent is assigned, and null where neither listing told: neither the number nor all agents.
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

assignments as (
    select
        phone_number_id,
        count(*) as agent_count
    from number_agents
    group by phone_number_id
),

agent_listings as (
    select
        environment_key,
        agents_listed_at,
        agents_complete
    from load_runs
    where agents_listed_at is not null
    qualify row_number() over (partition by environment_key order by agents_listed_at desc) = 1
),

agents_without_list as (
    select
        environment_key,
        count(*) as agents
    from agents
    where phone_numbers is null
    group by environment_key
),

-- Where each agent told all of its numbers, a number that was there by then and that none of them named has none.
told_by_agents as (
    select
        agent_listings.environment_key,
        agent_listings.agents_listed_at
    from agent_listings
    left join agents_without_list on agent_listings.environment_key = agents_without_list.environment_key
    where agent_listings.agents_complete and agents_without_list.environment_key is null
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
    case
        when assignments.agent_count is not null then assignments.agent_count
        when numbers.agents is not null then 0
        when numbers.created_at > told_by_agents.agents_listed_at then null
        when told_by_agents.environment_key is not null then 0
    end as agent_count,
    open_requests.id as open_request_id,
    open_requests.requested_at as release_requested_at,
    numbers.created_at
from phone_numbers as numbers
inner join sets on numbers.id = sets.id
left join assignments on numbers.id = assignments.phone_number_id
left join told_by_agents on numbers.environment_key = told_by_agents.environment_key
left join open_requests on numbers.id = open_requests.phone_number_id
