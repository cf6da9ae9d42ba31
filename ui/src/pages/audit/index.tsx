import { Autocomplete, Button, Group, TextInput } from "@mantine/core"
import { IconHistory, IconSearch } from "@tabler/icons-react"
import { type FormEvent, useMemo, useState } from "react"
import { useTranslation } from "react-i18next"

import { api } from "../../api/client"
import { Empty } from "../../parts/Empty"
import { Exports } from "../../parts/Exports"
import { PageHead } from "../../parts/PageHead"
import { usePages } from "../../parts/pages"
import { Problem } from "../../parts/Problem"
import { Range, rangeOf } from "../../parts/Range"
import { useUrl } from "../../parts/url"
import { Rows } from "./Rows"

const PAGE = 50
const defaults = { range: "30d", who: "", action: "", object: "", open: "" }
/** A whole one, or what stands before the dot for all of a kind. */
const ACTIONS = [
  ...[
    "project",
    "key",
    "model",
    "server",
    "sources",
    "config",
    "user",
    "login",
    "request",
    "requests",
    "alert",
    "alert_rule",
  ],
  ...[
    "project.create",
    "project.update",
    "project.delete",
    "key.create",
    "key.rotate",
    "key.revoke",
    "key.update",
  ],
  ...["model.create", "model.update", "model.delete", "server.create", "server.disable", "server.enable"],
  ...[
    "server.delete",
    "sources.sync",
    "config.apply",
    "requests.erase",
    "user.create",
    "user.update",
    "user.delete",
  ],
  ...["user.password", "user.sign_out", "login.ok", "login.failed", "logout", "link.create"],
  ...["request.cancel", "alert_rule.create", "alert_rule.update", "alert_rule.delete", "alert.test"],
]

/** Who changed what, when and from where. */
export default function Audit() {
  const { t } = useTranslation("audit")
  const [values, set] = useUrl(defaults)
  const [asked, setAsked] = useState(() => Date.now())
  const { range, who, action, object, open } = values
  const query = useMemo(() => {
    const { since, until } = rangeOf(range)
    const some = (value: string) => value.trim() || undefined
    return {
      since,
      until: range.includes("_") ? until : undefined,
      who: some(who),
      action: some(action),
      object: some(object),
    }
  }, [range, who, action, object, asked])
  const list = usePages(["audit", query, asked], async (cursor) => {
    const { data } = await api.GET("/admin/api/audit", {
      params: { query: { ...query, limit: PAGE, cursor } },
    })
    return data!
  })
  const filtered = !!(who || action || object)

  function search(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    set({
      who: String(form.get("who")),
      object: String(form.get("object")),
      action: String(form.get("action")),
    })
  }

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Range
          value={range}
          onChange={(next) => set({ range: next })}
          refresh={() => setAsked(Date.now())}
          busy={list.isFetching && !list.isFetchingNextPage}
        />
        <Exports path="/admin/api/audit/export" query={query} />
      </PageHead>
      <form onSubmit={search} role="search" key={[who, action, object].join("\n")}>
        <Group gap="xs" mb="md">
          <TextInput
            data-search
            name="who"
            size="xs"
            aria-label={t("filters.who")}
            placeholder={t("filters.who")}
            defaultValue={who}
            onBlur={(event) => set({ who: event.currentTarget.value })}
            leftSection={<IconSearch size={14} />}
          />
          <Autocomplete
            name="action"
            size="xs"
            aria-label={t("filters.action")}
            placeholder={t("filters.action")}
            data={ACTIONS}
            limit={60}
            defaultValue={action}
            onOptionSubmit={(value) => set({ action: value })}
            onBlur={(event) => set({ action: event.currentTarget.value })}
          />
          <TextInput
            name="object"
            size="xs"
            aria-label={t("filters.object")}
            placeholder={t("filters.object")}
            defaultValue={object}
            onBlur={(event) => set({ object: event.currentTarget.value })}
          />
          <Button type="submit" variant="default">
            {t("filters.search")}
          </Button>
          {filtered && (
            <Button variant="subtle" onClick={() => set({ who: "", action: "", object: "" })}>
              {t("filters.clear")}
            </Button>
          )}
        </Group>
      </form>
      {list.error ? (
        <Problem error={list.error} again={() => void list.refetch()} />
      ) : list.rows?.length === 0 && !list.hasNextPage ? (
        <Empty
          icon={IconHistory}
          title={t("empty.title")}
          text={t(filtered ? "empty.filtered" : "empty.text")}
        />
      ) : (
        <Rows rows={list.rows} opened={open} onOpen={(id) => set({ open: id })} />
      )}
      {list.hasNextPage && (
        <Group justify="center" mt="md">
          <Button
            variant="default"
            loading={list.isFetchingNextPage}
            onClick={() => void list.fetchNextPage()}
          >
            {t("more", { ns: "shell" })}
          </Button>
        </Group>
      )}
    </>
  )
}
