-- The statements of the handle itself.

-- name: ping
SELECT 1

-- name: isolation
SELECT current_setting('transaction_isolation')

-- name: clock
SELECT clock_timestamp()
