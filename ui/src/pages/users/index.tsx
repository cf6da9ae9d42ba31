import { Badge, Button, Text } from "@mantine/core"
import { IconLink, IconPlus, IconUsers } from "@tabler/icons-react"
import { useQueryClient } from "@tanstack/react-query"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { api, use } from "../../api/client"
import { useSession } from "../../app/session"
import { Confirm } from "../../parts/Confirm"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { Gate } from "../../parts/Gate"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { done, failed } from "../../parts/told"
import { When } from "../../parts/When"
import { ChangeRole } from "./ChangeRole"
import { LoginLink } from "./LoginLink"
import { NewUser } from "./NewUser"
import { ResetPassword } from "./ResetPassword"
import type { Changes, User } from "./shapes"
import { UserMenu, type What } from "./UserMenu"

type Open = { what: "new" | "link" } | { what: What; user: User }

/** Who may sign in. For owners. */
export default function Users() {
  const { t } = useTranslation("users")
  const me = useSession().data?.user.name
  const queries = useQueryClient()
  const [open, setOpen] = useState<Open | null>(null)
  const users = use.useQuery("get", "/admin/api/users")
  const changed = () => queries.invalidateQueries({ queryKey: ["get", "/admin/api/users"] })
  const close = () => setOpen(null)
  const path = (user: User) => ({ params: { path: { name: user.name } } })
  const change = async (user: User, body: Changes) => {
    await api.PATCH("/admin/api/users/{name}", { ...path(user), body })
    await changed()
  }

  function choose(what: What, user: User) {
    if (what !== "enable") return setOpen({ what, user })
    change(user, { is_active: true }).then(() => done(t("enabled", { name: user.name })), failed)
  }

  const columns: ColumnOf<User>[] = [
    {
      id: "name",
      title: t("columns.name"),
      sort: ({ name }) => name,
      cell: ({ name, is_active }) => (
        <>
          <Text span size="sm" fw={500}>
            {name}
          </Text>
          {name === me && (
            <Text span size="sm" c="dimmed">
              {" "}
              {t("you")}
            </Text>
          )}{" "}
          {!is_active && (
            <Badge size="sm" color="gray">
              {t("disabled")}
            </Badge>
          )}
        </>
      ),
    },
    {
      id: "role",
      title: t("columns.role"),
      sort: ({ role }) => role,
      cell: ({ role }) => t(`roles.${role}`, { ns: "shell" }),
    },
    {
      id: "last",
      title: t("columns.last"),
      sort: ({ last_login_at }) => last_login_at,
      cell: ({ last_login_at }) => (last_login_at ? <When at={last_login_at} /> : t("never")),
    },
    {
      id: "created",
      title: t("columns.created"),
      sort: ({ created_at }) => created_at,
      cell: ({ created_at }) => <When at={created_at} />,
    },
    {
      id: "actions",
      title: "",
      right: true,
      width: 48,
      cell: (user) => <UserMenu user={user} onChoose={(what) => choose(what, user)} />,
    },
  ]

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Gate role="owner">
          {(disabled) => (
            <Button
              variant="default"
              leftSection={<IconLink size={15} />}
              disabled={disabled}
              onClick={() => setOpen({ what: "link" })}
            >
              {t("link.action")}
            </Button>
          )}
        </Gate>
        <Gate role="owner">
          {(disabled) => (
            <Button
              leftSection={<IconPlus size={15} />}
              disabled={disabled}
              onClick={() => setOpen({ what: "new" })}
            >
              {t("new")}
            </Button>
          )}
        </Gate>
      </PageHead>
      {users.error ? (
        <Problem error={users.error} again={() => void users.refetch()} />
      ) : (
        <DataTable
          label={t("title")}
          columns={columns}
          rows={users.data?.data}
          keyOf={({ id }) => id}
          sortedBy="name"
          empty={<Empty icon={IconUsers} title={t("empty.title")} text={t("empty.text")} />}
        />
      )}
      {open?.what === "new" && <NewUser onClose={close} onChanged={changed} />}
      {open?.what === "link" && <LoginLink onClose={close} />}
      {open && "user" in open && (
        <>
          {open.what === "password" && (
            <ResetPassword
              user={open.user}
              onClose={close}
              onSave={(password) => change(open.user, { password })}
            />
          )}
          {open.what === "role" && (
            <ChangeRole user={open.user} onClose={close} onSave={(role) => change(open.user, { role })} />
          )}
          <Confirm
            opened={open.what === "disable"}
            onClose={close}
            title={t("disable.title", { name: open.user.name })}
            text={t("disable.text")}
            action={t("disable.action")}
            onAction={() => change(open.user, { is_active: false })}
          />
          <Confirm
            opened={open.what === "signOut"}
            onClose={close}
            title={t("signOut.title", { name: open.user.name })}
            text={t("signOut.text")}
            action={t("signOut.action")}
            onAction={async () => {
              const { data } = await api.DELETE("/admin/api/users/{name}/sessions", path(open.user))
              done(t("signOut.done", { count: data!.ended }))
            }}
          />
          <Confirm
            opened={open.what === "delete"}
            onClose={close}
            title={t("delete.title", { name: open.user.name })}
            text={t("delete.text")}
            action={t("delete", { ns: "shell" })}
            onAction={async () => {
              await api.DELETE("/admin/api/users/{name}", path(open.user))
              await changed()
            }}
          />
        </>
      )}
    </>
  )
}
