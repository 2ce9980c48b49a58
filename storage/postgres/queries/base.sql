-- The statements of the handle itself.

-- name: ping
SELECT 1
