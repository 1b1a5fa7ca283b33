-- Version 8.

-- Dead letters by the time of their death: how many there are since yesterday is asked whenever somebody
-- looks whether all is well.
CREATE INDEX callbacks_dead_updated ON callbacks (updated_at)
    WHERE status IN ('dead', 'expired') AND discarded = 0;
