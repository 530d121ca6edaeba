"""What things cost, measured beside a floor in the same run; figures of one machine, ratios for all."""
