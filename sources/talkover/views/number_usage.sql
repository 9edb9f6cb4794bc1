-- One row per environment, number and month in which it was held or had calls: its calls, and what it cost for them.
-- No phone_number_id: no number was held under that phone_number when the call began. Months are UTC.
-- calls_in + calls_out + calls_unknown_direction + test_calls are all calls: a test call counts nowhere else.
with

first_windows as (
    select
        environment_key,
        min(first_day) as first_loaded_on
    from call_windows
    where _dlt_load_id in (select load_id from _dlt_loads where status = 0)
    group by environment_key
),

months as (
    select
        first_windows.environment_key,
        calendar_months.month,
        calendar_months.next_month
    from first_windows
    inner join calendar_months on first_windows.first_loaded_on < calendar_months.next_month
    where cast(current_timestamp at time zone 'UTC' as date) >= calendar_months.month
),

complete_months as (
    select
        months.environment_key,
        months.month
    from months
    inner join call_spans
        on months.environment_key = call_spans.environment_key
        and months.month >= call_spans.complete_from
    where date_diff('day', call_spans.complete_until, months.next_month) <= 1
),

holdings as (
    select
        environment_key,
        phone_number_id,
        phone_number,
        valid_from,
        valid_to,
        cast(valid_from at time zone 'UTC' as date) as from_on,
        cast(valid_to at time zone 'UTC' as date) as until_on,
        lead(valid_from) over (
            partition by environment_key, phone_number order by valid_from asc, phone_number_id asc
        ) as next_valid_from
    from number_holdings
),

-- Where two numbers have one phone_number, a call is on the one that was bought last.
held as (
    select
        *,
        case
            when next_valid_from < valid_to then next_valid_from
            else coalesce(valid_to, next_valid_from, cast('2100-01-01' as timestamptz))
        end as answers_until
    from holdings
),

-- What a number costs counts once a month, under the phone_number that it had last.
held_months as (
    select
        held.environment_key,
        held.phone_number_id,
        held.phone_number,
        months.month,
        row_number() over (
            partition by held.environment_key, held.phone_number_id, months.month order by held.valid_from desc
        ) as newest_first
    from held
    inner join months
        on held.environment_key = months.environment_key
        and held.from_on < months.next_month
    where held.until_on is null or held.until_on >= months.month
),

changes as (
    select
        environment_key,
        phone_number_id,
        currency,
        monthly_cost,
        changed_at,
        cast(changed_on + (1 - extract(day from changed_on)) * interval 1 day as date) as month
    from inventory_changes
    where environment_key is not null
),

last_changes as (
    select *
    from changes
    qualify row_number() over (partition by environment_key, phone_number_id, month order by changed_at desc) = 1
),

costs as (
    select
        environment_key,
        phone_number_id,
        currency,
        monthly_cost,
        month,
        lead(month) over (partition by environment_key, phone_number_id order by month asc) as next_month
    from last_changes
),

costs_of_months as (
    select
        held_months.environment_key,
        held_months.phone_number_id,
        held_months.phone_number,
        held_months.month,
        costs.currency,
        costs.monthly_cost
    from held_months
    inner join costs
        on held_months.environment_key = costs.environment_key
        and held_months.phone_number_id = costs.phone_number_id
        and held_months.month >= costs.month
    where held_months.newest_first = 1 and (costs.next_month is null or costs.next_month > held_months.month)
),

placed as (
    select
        calls.environment_key,
        held.phone_number_id,
        calls.phone_number,
        calls.party_hash,
        calls.created_at as called_at,
        cast(calls.created_at at time zone 'UTC' as date) as called_on,
        case when calls.is_testing then 1 else 0 end as is_test,
        case calls.direction when 'inbound' then 1 when 'outbound' then 2 else 0 end as way,
        case when calls.status in ('answered', 'in-progress', 'completed') then 1 else 0 end as is_answered,
        coalesce(calls.duration, 0) as seconds
    from calls
    left join held
        on calls.environment_key = held.environment_key
        and calls.phone_number = held.phone_number
        and calls.created_at >= held.valid_from
        and calls.created_at < held.answers_until
),

dated as (
    select
        *,
        cast(called_on + (1 - extract(day from called_on)) * interval 1 day as date) as month
    from placed
),

counts as (
    select
        environment_key,
        phone_number_id,
        phone_number,
        month,
        count(case when is_test = 0 and way = 1 then 1 end) as calls_in,
        count(case when is_test = 0 and way = 2 then 1 end) as calls_out,
        count(case when is_test = 0 and way = 0 then 1 end) as calls_unknown_direction,
        count(case when is_test = 0 and is_answered = 1 then 1 end) as answered,
        sum(case when is_test = 0 then seconds else 0 end) as seconds,
        count(distinct case when is_test = 0 then party_hash end) as callers,
        count(case when is_test = 1 then 1 end) as test_calls,
        max(case when is_test = 0 then called_at end) as last_call_at
    from dated
    group by environment_key, phone_number_id, phone_number, month
),

-- Ids and phone numbers may be null, which joins nothing.
parts as (
    select
        environment_key,
        phone_number_id,
        phone_number,
        month,
        0 as calls_in,
        0 as calls_out,
        0 as calls_unknown_direction,
        0 as answered,
        0 as seconds,
        0 as callers,
        0 as test_calls,
        null as last_call_at,
        currency,
        monthly_cost
    from costs_of_months
    union all
    select
        environment_key,
        phone_number_id,
        phone_number,
        month,
        calls_in,
        calls_out,
        calls_unknown_direction,
        answered,
        seconds,
        callers,
        test_calls,
        last_call_at,
        null,
        null
    from counts
    union all
    select environment_key, phone_number_id, phone_number, month, 0, 0, 0, 0, 0, 0, 0, null, null, null
    from held_months
),

sums as (
    select
        environment_key,
        phone_number_id,
        phone_number,
        month,
        sum(calls_in) as calls_in,
        sum(calls_out) as calls_out,
        sum(calls_unknown_direction) as calls_unknown_direction,
        sum(answered) as answered,
        sum(seconds) as seconds,
        sum(callers) as callers,
        sum(test_calls) as test_calls,
        max(last_call_at) as last_call_at,
        max(currency) as currency,
        max(monthly_cost) as monthly_cost
    from parts
    group by environment_key, phone_number_id, phone_number, month
)

select
    sums.environment_key,
    sums.phone_number_id,
    sums.phone_number,
    sums.month,
    cast(sums.calls_in as bigint) as calls_in,
    cast(sums.calls_out as bigint) as calls_out,
    cast(sums.calls_unknown_direction as bigint) as calls_unknown_direction,
    cast(sums.answered as bigint) as answered,
    -- what is added counts nowhere but in ClickHouse, which cuts off what it does not keep
    cast(round(sums.seconds * 1e2 / 60) / 1e2 + 1e-5 as decimal(38, 4)) as minutes,
    cast(sums.callers as bigint) as callers,
    cast(sums.test_calls as bigint) as test_calls,
    sums.last_call_at,
    sums.currency,
    cast(sums.monthly_cost as decimal(38, 4)) as monthly_cost,
    -- it also works out what it leaves out, so that nothing may be divided by 0. Not every database rounds halves up, and
    -- a cost times 1e4 is whole, but for what a double adds to it
    case
        when sums.answered > 0
            then cast(
                floor(round(sums.monthly_cost * 1e4) / greatest(sums.answered, 1) + 0.5) / 1e4 + 1e-5 as decimal(38, 4)
            )
    end as cost_per_answered_call,
    case
        when sums.seconds > 0
            then cast(
                floor(round(sums.monthly_cost * 1e4) * 60 / greatest(sums.seconds, 1) + 0.5) / 1e4 + 1e-5
                as decimal(38, 4)
            )
    end as cost_per_minute,
    complete_months.month is not null as is_complete
from sums
inner join first_windows on sums.environment_key = first_windows.environment_key
left join complete_months
    on sums.environment_key = complete_months.environment_key
    and sums.month = complete_months.month
