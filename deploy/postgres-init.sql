-- Beside the database `zsync`, which the image makes: Dagster's own.
CREATE DATABASE dagster;
