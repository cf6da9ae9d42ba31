"""Where settings and configuration-as-code come from.

    load        flags, environment, `.env`, config file -> Settings and Document, or every mistake at once
    origins     each of these places, and how a setting is named there
    reader      a YAML file -> plain values that know their line and column
    document    what the file may hold: servers, models, projects
    checks      what no single field shows: names used twice, missing variables, forbidden addresses
    apply       Document -> database
    schema      JSON Schema of the file, for editors
    reference   the settings page of the docs and `.env.example`
    mistakes    what is wrong, where, and what would be right

It stands at the edge beside the CLI: nothing behind the edge imports it, and nothing here is read by a request.
"""
