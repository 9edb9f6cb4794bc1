-- One row per environment and resource: how old the last complete listing is, and what is missing in the rows.
-- An environment that was retired has none.
with

listings as (
    select
        environment_key,
        'phone_numbers' as resource,
        phone_numbers_listed_at as listed_at,
        phone_numbers_listed as listed,
        phone_numbers_total as api_total,
        phone_numbers_complete as is_complete
    from load_runs
    union all
    select
        environment_key,
        'release_requests',
        release_requests_listed_at,
        release_requests_listed,
        release_requests_total,
        release_requests_complete
    from load_runs
    union all
    select
        environment_key,
        'agents',
        agents_listed_at,
        agents_listed,
        agents_total,
        agents_complete
    from load_runs
    union all
    -- the windows of one run are one listing
    select
        environment_key,
        'calls',
        max(read_at),
        cast(sum(listed) as bigint),
        case when count(total) = count(*) then cast(sum(total) as bigint) end,
        count(case when complete then 1 end) = count(*)
    from call_windows
    where _dlt_load_id in (select load_id from _dlt_loads where status = 0)
    group by environment_key, observed_at
),

last_runs as (
    select
        environment_key,
        run_id,
        observed_at,
        started_at,
        is_retired
    from load_runs
    qualify row_number() over (partition by environment_key order by observed_at desc, started_at desc) = 1
),

last_run as (
    select run_id
    from last_runs
    where is_retired is null
    qualify row_number() over (order by observed_at desc, started_at desc, run_id desc) = 1
),

last_listings as (
    select *
    from listings
    where listed_at is not null
    qualify row_number() over (partition by environment_key, resource order by listed_at desc) = 1
),

last_complete_listings as (
    select
        environment_key,
        resource,
        max(listed_at) as last_complete_listing_at
    from listings
    where is_complete
    group by environment_key, resource
),

-- a load merges table by table, and dlt notes at its end that it is done (a request is never logged alone)
newest_rows as (
    select environment_key, max(_dlt_load_id) as load_id from phone_numbers group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from phone_number_agents group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from phone_number_changes group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from release_requests group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from agents group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from agent_phone_numbers group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from calls group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from call_windows group by environment_key
    union all
    select environment_key, max(_dlt_load_id) from load_runs group by environment_key
),

newest_loads as (
    select
        environment_key,
        max(load_id) as load_id
    from newest_rows
    group by environment_key
),

done_loads as (
    select distinct load_id
    from _dlt_loads
    where status = 0
),

calls_by_number as (
    select
        environment_key,
        phone_number,
        count(*) as calls
    from calls
    group by environment_key, phone_number
),

known_numbers as (
    select distinct
        environment_key,
        phone_number
    from number_holdings
    where phone_number is not null
),

calls_without_number as (
    select
        calls_by_number.environment_key,
        sum(calls_by_number.calls) as calls
    from calls_by_number
    left join known_numbers
        on calls_by_number.environment_key = known_numbers.environment_key
        and calls_by_number.phone_number = known_numbers.phone_number
    where known_numbers.phone_number is null
    group by calls_by_number.environment_key
),

gaps as (
    select
        environment_key,
        'phone_numbers' as resource,
        count(*) as rows_held,
        count(case when monthly_cost is null then 1 end) as without_cost,
        count(case when currency is null then 1 end) as without_currency,
        count(case when renewal_date is null then 1 end) as without_renewal_date,
        count(case when capability_set = 'unknown' then 1 end) as without_capabilities,
        count(case when days_to_renewal < 0 then 1 end) as overdue,
        null as without_known_number
    from current_numbers
    group by environment_key
    union all
    select
        environment_key,
        'release_requests',
        count(*),
        null,
        null,
        null,
        null,
        null,
        count(case when not is_number_known then 1 end)
    from release_request_flow
    group by environment_key
    union all
    select
        environment_key,
        'agents',
        count(*),
        null,
        null,
        null,
        null,
        null,
        null
    from agents
    group by environment_key
    union all
    select
        call_coverage.environment_key,
        'calls',
        call_coverage.calls,
        null,
        null,
        null,
        null,
        null,
        cast(coalesce(calls_without_number.calls, 0) as bigint)
    from call_coverage
    left join calls_without_number on call_coverage.environment_key = calls_without_number.environment_key
)

select
    last_listings.environment_key,
    last_listings.resource,
    last_run.run_id is not null as was_in_last_load,
    last_complete_listings.last_complete_listing_at,
    date_diff(
        'day',
        cast(last_complete_listings.last_complete_listing_at at time zone 'UTC' as date),
        cast(current_timestamp at time zone 'UTC' as date)
    ) as age_days,
    last_listings.is_complete as last_listing_was_complete,
    done_loads.load_id is null as load_is_unfinished,
    last_listings.listed,
    last_listings.api_total,
    coalesce(gaps.rows_held, 0) as rows_held,
    gaps.without_cost,
    gaps.without_currency,
    gaps.without_renewal_date,
    gaps.without_capabilities,
    gaps.overdue,
    gaps.without_known_number,
    case when last_listings.resource = 'calls' then call_coverage.complete_from end as complete_from,
    case when last_listings.resource = 'calls' then call_coverage.complete_until end as complete_until
from last_listings
left join last_runs on last_listings.environment_key = last_runs.environment_key
left join last_run on last_runs.run_id = last_run.run_id
left join last_complete_listings
    on last_listings.environment_key = last_complete_listings.environment_key
    and last_listings.resource = last_complete_listings.resource
left join gaps
    on last_listings.environment_key = gaps.environment_key
    and last_listings.resource = gaps.resource
left join newest_loads on last_listings.environment_key = newest_loads.environment_key
left join done_loads on newest_loads.load_id = done_loads.load_id
left join call_coverage on last_listings.environment_key = call_coverage.environment_key
where last_runs.is_retired is null
