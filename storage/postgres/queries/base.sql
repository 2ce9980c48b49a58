-- The statements of the handle itself.

-- name: ping
SELECT 1

-- name: clock
SELECT clock_timestamp()
