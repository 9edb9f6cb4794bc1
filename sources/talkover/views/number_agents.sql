-- One row per number and agent that either listing names together: what each says, the one of numbers and the one of agents.
-- on_number, on_agent: whether the number names the agent, and the agent the number. Null: that list is not known.
with

links as (
    select
        phone_number_id,
        agent_id,
        environment_key,
        agent_name,
        1 as named_by_number,
        0 as named_by_agent
    from phone_number_agents
    union all
    select
        phone_number_id,
        agent_id,
        environment_key,
        null,
        0,
        1
    from agent_phone_numbers
),

pairs as (
    select
        phone_number_id,
        agent_id,
        max(environment_key) as environment_key,
        max(agent_name) as agent_name,
        max(named_by_number) as named_by_number,
        max(named_by_agent) as named_by_agent
    from links
    group by phone_number_id, agent_id
),

told as (
    select
        pairs.phone_number_id,
        pairs.agent_id,
        coalesce(numbers.environment_key, pairs.environment_key) as environment_key,
        numbers.number as phone_number,
        coalesce(agents.name, pairs.agent_name) as agent_name,
        case when pairs.named_by_number = 1 then 1 when numbers.agents is not null then 0 end as by_number,
        case when pairs.named_by_agent = 1 then 1 when agents.phone_numbers is not null then 0 end as by_agent
    from pairs
    left join phone_numbers as numbers on pairs.phone_number_id = numbers.id
    left join agents on pairs.agent_id = agents.id
)

select
    environment_key,
    phone_number_id,
    phone_number,
    agent_id,
    agent_name,
    by_number = 1 as on_number,
    by_agent = 1 as on_agent,
    case
        when by_number = 1 and by_agent = 1 then 'agree'
        when by_agent = 0 then 'only the number'
        when by_number = 0 then 'only the agent'
        else 'one source'
    end as status
from told
