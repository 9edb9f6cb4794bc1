-- One row per environment and resource: how old the last complete listing is, and what is missing in the rows.
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
)

select
    last_listings.environment_key,
    last_listings.resource,
    last_complete_listings.last_complete_listing_at,
    date_diff(
        'day',
        cast(last_complete_listings.last_complete_listing_at at time zone 'UTC' as date),
        cast(current_timestamp at time zone 'UTC' as date)
    ) as age_days,
    last_listings.is_complete as last_listing_was_complete,
    last_listings.listed,
    last_listings.api_total,
    coalesce(gaps.rows_held, 0) as rows_held,
    gaps.without_cost,
    gaps.without_currency,
    gaps.without_renewal_date,
    gaps.without_capabilities,
    gaps.overdue,
    gaps.without_known_number
from last_listings
left join last_complete_listings
    on last_listings.environment_key = last_complete_listings.environment_key
    and last_listings.resource = last_complete_listings.resource
left join gaps
    on last_listings.environment_key = gaps.environment_key
    and last_listings.resource = gaps.resource
