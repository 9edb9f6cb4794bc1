-- One row per environment, agent and month with calls: its calls. No agent_id: calls for which the API named no agent.
-- calls_in + calls_out + calls_unknown_direction + test_calls are all calls: a test call counts nowhere else. Months are UTC.
with

dated as (
    select
        environment_key,
        agent__id as agent_id,
        phone_number,
        party_hash,
        created_at as called_at,
        cast(created_at at time zone 'UTC' as date) as called_on,
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
        agent_id,
        month,
        count(case when is_test = 0 and way = 1 then 1 end) as calls_in,
        count(case when is_test = 0 and way = 2 then 1 end) as calls_out,
        count(case when is_test = 0 and way = 0 then 1 end) as calls_unknown_direction,
        count(case when is_test = 0 and is_answered = 1 then 1 end) as answered,
        sum(case when is_test = 0 then seconds else 0 end) as seconds,
        count(distinct case when is_test = 0 then party_hash end) as callers,
        count(distinct case when is_test = 0 then phone_number end) as numbers,
        count(case when is_test = 1 then 1 end) as test_calls,
        max(case when is_test = 0 then called_at end) as last_call_at
    from placed
    group by environment_key, agent_id, month
),

names_on_calls as (
    select
        agent__id as agent_id,
        agent__name as agent_name,
        max(created_at) as named_at
    from calls
    where agent__id is not null and agent__name is not null
    group by agent__id, agent__name
),

last_names as (
    select
        agent_id,
        agent_name
    from names_on_calls
    qualify row_number() over (partition by agent_id order by named_at desc nulls last, agent_name asc) = 1
)

select
    counts.environment_key,
    counts.agent_id,
    coalesce(agents.name, last_names.agent_name) as agent_name,
    counts.month,
    counts.calls_in,
    counts.calls_out,
    counts.calls_unknown_direction,
    counts.answered,
    -- what is added counts nowhere but in ClickHouse, which cuts off what it does not keep
    cast(round(counts.seconds * 1e2 / 60) / 1e2 + 1e-5 as decimal(38, 4)) as minutes,
    counts.callers,
    counts.numbers,
    counts.test_calls,
    counts.last_call_at
from counts
left join agents on counts.agent_id = agents.id
left join last_names on counts.agent_id = last_names.agent_id
