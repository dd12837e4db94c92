WITH counted AS (
    SELECT
        orders.id,
        orders.customer_id,
        (SELECT coalesce(sum(quantity * unit_price_cents), 0) FROM items WHERE items.order_id = orders.id)
        - (SELECT coalesce(sum(amount_cents), 0) FROM refunds WHERE refunds.order_id = orders.id) AS revenue_cents
    FROM orders
    WHERE orders.status <> 'cancelled' AND orders.placed_at >= '2025' AND orders.placed_at < '2026'
)
SELECT customers.name AS customer, count(*) AS orders, sum(counted.revenue_cents) AS revenue_cents
FROM counted
JOIN customers ON customers.id = counted.customer_id
GROUP BY customers.id
ORDER BY sum(counted.revenue_cents) DESC, customer
