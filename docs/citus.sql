-- Spreads the tables of a first load over the nodes of a Citus cluster: docs/citus.md. Run it once, with no load at work:
--   psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f citus.sql
-- Numbers, their agents and their history lie by the number's id, so that what is joined lies on one node. The rest is small, and
-- lies on every node.

select create_distributed_table('talkover.phone_numbers', 'id');
select create_distributed_table('talkover.phone_number_agents', 'phone_number_id', colocate_with => 'talkover.phone_numbers');
select create_distributed_table('talkover.phone_number_changes', 'id', colocate_with => 'talkover.phone_numbers');
select create_reference_table('talkover.release_requests');
select create_reference_table('talkover.release_request_changes');
select create_reference_table('talkover.load_runs');

-- The tables that dlt merges from.
select create_distributed_table('talkover_staging.phone_numbers', 'id', colocate_with => 'talkover.phone_numbers');
select create_distributed_table('talkover_staging.phone_number_agents', 'phone_number_id', colocate_with => 'talkover.phone_numbers');
select create_distributed_table('talkover_staging.phone_number_changes', 'id', colocate_with => 'talkover.phone_numbers');
select create_reference_table('talkover_staging.release_requests');
select create_reference_table('talkover_staging.release_request_changes');
select create_reference_table('talkover_staging.load_runs');
