-- One row per environment, currency and agent: the numbers it answers on now, and what they cost a month. A number with several
-- agents counts for each of them, and in shared_numbers. No agent_id: numbers without an agent, or with unknown agents.
with

names as (
    select
        agent_id,
        max(agent_name) as agent_name
    from number_agents
    group by agent_id
),

assigned as (
    select
        current_numbers.environment_key,
        current_numbers.currency,
        current_numbers.monthly_cost,
        current_numbers.agent_count,
        number_agents.agent_id,
        names.agent_name
    from current_numbers
    left join number_agents on current_numbers.phone_number_id = number_agents.phone_number_id
    left join names on number_agents.agent_id = names.agent_id
),

labelled as (
    select
        environment_key,
        currency,
        monthly_cost,
        agent_count,
        agent_id,
        case
            when agent_id is not null then coalesce(agent_name, agent_id)
            when agent_count = 0 then 'no agent'
            else 'unknown'
        end as agent
    from assigned
)

select
    environment_key,
    currency,
    agent_id,
    agent,
    count(*) as numbers,
    count(case when agent_count > 1 then 1 end) as shared_numbers,
    cast(coalesce(sum(monthly_cost), 0) as decimal(38, 4)) as monthly_cost
from labelled
group by environment_key, currency, agent_id, agent
