import { useTranslation } from "react-i18next"

import { type Ended, useFeed } from "../../parts/feed"
import { FirstRequestStep } from "./FirstRequestStep"
import type { FirstRequest, Fresh } from "./shapes"
import { Snippets } from "./Snippets"
import { Step } from "./Step"

/** With a key just made: the feed tells of its first request at once. */
export function FreshSteps({ first, fresh }: { first: FirstRequest; fresh: Fresh }) {
  const mine = useFeed(({ ended }) => ended.find((row) => row.key_id === fresh.id))
  return <AskSteps keyed first={first} fresh={fresh} mine={mine} />
}

interface Props {
  /** Is there a key to ask with? */
  keyed: boolean
  first: FirstRequest
  fresh?: Fresh
  /** The latest request of the fresh key. */
  mine?: Ended
}

/** What to paste, and what came of it. */
export function AskSteps({ keyed, first, fresh, mine }: Props) {
  const { t } = useTranslation("start")
  const asked = fresh ? !!mine : !!first.request_id
  return (
    <>
      <Step state={asked ? "done" : keyed ? "active" : "waiting"} title={t("snippet.title")}>
        {keyed && <Snippets fresh={fresh ?? null} />}
      </Step>
      <FirstRequestStep first={first} fresh={fresh} mine={mine} />
    </>
  )
}
