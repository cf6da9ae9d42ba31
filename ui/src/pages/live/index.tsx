import { Text, Title } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { useFeed } from "../../parts/feed"
import { number } from "../../parts/format"
import { PageHead } from "../../parts/PageHead"
import { useUrl } from "../../parts/url"
import { RequestDrawer } from "../requests/Drawer"
import { Connection } from "./Connection"
import { EndedRequests } from "./EndedRequests"
import { InFlight } from "./InFlight"
import { Servers } from "./Servers"

/** From memory and over one stream: an open page asks the database nothing until a request is opened. */
export default function Live() {
  const { t } = useTranslation("live")
  const total = useFeed((feed) => feed.inFlight?.total)
  const [{ id }, set] = useUrl({ id: "" })
  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Connection />
      </PageHead>
      <Servers />
      <Title order={2} size="h5" mb="xs" mt="lg">
        {t("inFlight.title")}{" "}
        {total !== undefined && (
          <Text span c="dimmed" fz="inherit" className="numbers">
            {number(total)}
          </Text>
        )}
      </Title>
      <InFlight />
      <EndedRequests chosen={id} onOpen={(next, push) => set({ id: next }, { push })} />
      <RequestDrawer id={id} onClose={() => set({ id: "" })} />
    </>
  )
}
