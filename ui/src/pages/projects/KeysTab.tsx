import { Badge, Button, Code, Group, Switch, Text } from "@mantine/core"
import { IconKey, IconPlus } from "@tabler/icons-react"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api, use } from "../../api/client"
import { Confirm } from "../../parts/Confirm"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { Gate } from "../../parts/Gate"
import { Problem } from "../../parts/Problem"
import { Reveal } from "../../parts/Reveal"
import { done } from "../../parts/told"
import { useUrl } from "../../parts/url"
import { When } from "../../parts/When"
import { KeyLimits } from "./KeyLimits"
import { KeyMenu } from "./KeyMenu"
import { NewKey } from "./NewKey"
import { RotateKey } from "./RotateKey"
import { type Key, limitNames, type Project, useChanged } from "./shapes"

const colours = { active: "teal", expired: "gray", revoked: "gray" }
type Open = { what: "new" } | { what: "rotate" | "revoke" | "limits"; key: Key }
interface Fresh {
  secret: string
  name: string
  endsAt?: string
}

/** The project's keys. A key itself is seen once, when it is made. */
export function KeysTab({ project }: { project: Project }) {
  const { t } = useTranslation("projects")
  const changed = useChanged()
  const [url, setUrl] = useUrl({ ended: "" })
  const [open, setOpen] = useState<Open | null>(null)
  const [fresh, setFresh] = useState<Fresh | null>(null)
  const keys = use.useQuery("get", "/admin/api/keys", { params: { query: { project: project.id } } })
  const ended = keys.data?.data.filter(({ state }) => state !== "active").length ?? 0
  const rows = keys.data?.data.filter(({ state }) => url.ended || state === "active")
  const close = () => setOpen(null)
  const made = (key: Fresh) => {
    close()
    setFresh(key)
    void changed()
  }

  const columns: ColumnOf<Key>[] = [
    {
      id: "name",
      title: t("keys.name"),
      sort: ({ name }) => name,
      cell: ({ name }) => <Text size="sm">{name}</Text>,
    },
    {
      id: "key",
      title: t("keys.key"),
      cell: ({ prefix, last4 }) => (
        <Code style={{ whiteSpace: "nowrap" }}>
          {prefix}…{last4}
        </Code>
      ),
    },
    {
      id: "state",
      title: t("keys.state"),
      sort: ({ state }) => state,
      cell: ({ state }) => (
        <Badge size="sm" color={colours[state]} miw="fit-content">
          {t(`keys.states.${state}`)}
        </Badge>
      ),
    },
    {
      id: "used",
      title: t("keys.used"),
      sort: ({ last_used_at }) => last_used_at,
      cell: ({ last_used_at }) => (last_used_at ? <When at={last_used_at} /> : t("keys.never")),
    },
    {
      id: "expires",
      title: t("keys.expires"),
      sort: ({ expires_at }) => expires_at,
      cell: ({ expires_at, revoked_at }) =>
        revoked_at ? <When at={revoked_at} /> : expires_at ? <When at={expires_at} /> : t("keys.never"),
    },
    {
      id: "limits",
      title: t("tabs.limits"),
      cell: (key) => {
        const count = limitNames.filter((name) => key[name] != null).length
        return count ? t("keys.limited", { count }) : t("keys.asProject")
      },
    },
    {
      id: "actions",
      title: "",
      right: true,
      width: 48,
      cell: (key) => <KeyMenu of={key} onChoose={(what) => setOpen({ what, key })} />,
    },
  ]

  return (
    <>
      <Group justify="space-between" mb="sm">
        <Text size="sm" c="dimmed">
          {t("keys.about")}
        </Text>
        <Group gap="sm">
          {ended > 0 && (
            <Switch
              size="xs"
              label={t("keys.showEnded", { count: ended })}
              checked={!!url.ended}
              onChange={(event) => setUrl({ ended: event.currentTarget.checked ? "1" : "" })}
            />
          )}
          <Gate>
            {(disabled) => (
              <Button
                leftSection={<IconPlus size={15} />}
                disabled={disabled}
                onClick={() => setOpen({ what: "new" })}
              >
                {t("keys.new")}
              </Button>
            )}
          </Gate>
        </Group>
      </Group>
      {keys.error ? (
        <Problem error={keys.error} again={() => void keys.refetch()} />
      ) : (
        <DataTable
          label={t("tabs.keys")}
          columns={columns}
          rows={rows}
          keyOf={({ id }) => id}
          empty={<Empty icon={IconKey} title={t("keys.empty.title")} text={t("keys.empty.text")} />}
        />
      )}
      {open?.what === "new" && <NewKey project={project} onClose={close} onMade={made} />}
      {open?.what === "rotate" && <RotateKey of={open.key} onClose={close} onMade={made} />}
      {open?.what === "limits" && <KeyLimits of={open.key} onClose={close} />}
      {open?.what === "revoke" && (
        <Confirm
          opened
          onClose={close}
          title={t("keys.revoke.title", { name: open.key.name })}
          text={t("keys.revoke.text")}
          action={t("keys.revoke.action")}
          onAction={async () => {
            await api.POST("/admin/api/keys/{key_id}/revoke", { params: { path: { key_id: open.key.id } } })
            await changed()
            done(t("keys.revoke.done", { name: open.key.name }))
          }}
        />
      )}
      {fresh && (
        <Reveal
          secret={fresh.secret}
          name={fresh.name}
          project={project.name}
          note={
            fresh.endsAt && (
              <>
                {t("keys.rotate.ends")} <When at={fresh.endsAt} />
              </>
            )
          }
          onClose={() => setFresh(null)}
        />
      )}
    </>
  )
}
