import { useTranslation } from "react-i18next"

import { PageHead } from "../../parts/PageHead"
import { useUrl } from "../../parts/url"
import { Clients } from "./Clients"

export default function Connect() {
  const { t } = useTranslation("connect")
  const [url, setUrl] = useUrl({ client: "", model: "", q: "", project: "" })
  return (
    <>
      <PageHead title={t("title")} about={t("about")} />
      <Clients project={url.project} chosen={url} onChoose={setUrl} />
    </>
  )
}
